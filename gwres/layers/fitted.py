"""A layer whose weights are measured or designed, not learned."""

import keras


class Fitted(keras.layers.Layer):
    """Holds weights that `fit` sets and training leaves as they are.

    Args:
        fitted: whether the weights are set; `fit` and loading set it.
        kwargs: arguments of Keras's Layer.
    """

    def __init__(self, fitted=False, **kwargs):
        super().__init__(**kwargs)
        self.fitted = fitted
        self.trainable = False

    def unset(self, **shapes):
        """Make a weight of each name and shape, filled with NaN.

        A layer made from a config, without its weights, then computes NaN and not
        something that looks like a result.
        """
        for name, shape in shapes.items():
            unset = keras.initializers.Constant(float("nan"))
            weight = self.add_weight(
                name=name, shape=shape, initializer=unset, trainable=False
            )
            setattr(self, name, weight)

    def set(self, shape, **values):
        """Assign the weights; without any, build them first, for inputs of `shape`."""
        if not self.built:
            self.build(shape)
            self.built = True
        for name, value in values.items():
            getattr(self, name).assign(value)
        self.fitted = True

    def demand(self, what):
        """Refuse to compute without the weights.

        Args:
            what: what is missing, and how to get it.

        Raises:
            ValueError: the weights are not set.
        """
        if not self.fitted:
            raise ValueError(f"{type(self).__name__} has no {what} first")

    def get_config(self):
        """The arguments that make the layer again."""
        return super().get_config() | {"fitted": self.fitted}
