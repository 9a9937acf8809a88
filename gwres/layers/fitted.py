"""A layer whose weights are measured or designed, not learned."""

import keras


class Fitted(keras.layers.Layer):
    """Holds weights that `fit` sets and training leaves as they are.

    Args:
        fitted: whether they are there; set by `fit` and on loading.
        kwargs: of Keras's Layer.
    """

    def __init__(self, fitted=False, **kwargs):
        super().__init__(**kwargs)
        self.fitted = fitted
        self.trainable = False

    def unset(self, **shapes):
        """Make a weight of each name and shape.

        They are NaN, so that a layer made from a config without its weights cannot
        pass for one that has them.
        """
        for name, shape in shapes.items():
            unset = keras.initializers.Constant(float("nan"))
            made = self.add_weight(
                name=name, shape=shape, initializer=unset, trainable=False
            )
            setattr(self, name, made)

    def set(self, shape, **values):
        """Assign the weights, which are made for inputs of a shape if need be."""
        if not self.built:
            self.build(shape)
            self.built = True
        for name, value in values.items():
            getattr(self, name).assign(value)
        self.fitted = True

    def demand(self, what):
        """Refuse to go on without the weights.

        Args:
            what: is missing, and how to get it.

        Raises:
            ValueError: they are not there.
        """
        if not self.fitted:
            raise ValueError(f"{type(self).__name__} has no {what} first")

    def get_config(self):
        """The arguments."""
        return super().get_config() | {"fitted": self.fitted}
