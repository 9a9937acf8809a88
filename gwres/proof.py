"""Digests of what is stored, so that damage is found before it is used.

What is read as a whole has one digest of the whole. A `.npy` file of many rows, which
is read a few rows at a time, has one for each row, in a file beside it. They are XXH3,
64 bits, which finds accidents and not forgers.
"""

import io
import json
import logging
import os
import weakref
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import xxhash

from gwres.errors import InputError

logger = logging.getLogger(__name__)
LIST = "proof.json"  # the digests of a folder's files
ROWS = ".rows"  # ends the name of the file of a .npy file's digests
BLOCK = 2**20  # bytes in memory at a time
MAGIC = 10  # bytes of a .npy file that end with the length of its header


class Damaged(InputError):
    """What is stored is not as it was written; the message names it.

    Args:
        message: what was expected and found.
        row: number of the row, where it is one.
    """

    def __init__(self, message, row=None):
        super().__init__(message)
        self.row = row


def digest(data):
    """The digest of bytes, or of an array's: 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(data)


def of(path):
    """The digest of a file, read in constant memory."""
    found = xxhash.xxh3_64()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def sealed(record):
    """A JSON-able dict as text that holds its own digest; see `opened`."""
    # As it will be read: keys that are numbers become text.
    record = json.loads(json.dumps(record))
    return json.dumps(record | {"xxh3": _seal(record)}, indent=1) + "\n"


def _seal(record):
    return digest(json.dumps(record, sort_keys=True).encode())


def opened(path):
    """Read what `sealed` made.

    Raises:
        Damaged: it is not there, or not as it was written.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        expected = record.pop("xxh3")
    except FileNotFoundError:
        raise Damaged(f"{path}: no such file") from None
    except KeyError:
        raise Damaged(f"{path}: no digest, so an older version wrote it") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise Damaged(f"{path}: not as it was written ({error})") from None
    if _seal(record) != expected:
        raise Damaged(f"{path}: not as it was written")
    return record


def check(path, expected):
    """Raise `Damaged` unless a file has the digest."""
    try:
        found = of(path)
    except FileNotFoundError:
        raise Damaged(f"{path}: no such file") from None
    if found != expected:
        raise Damaged(f"{path}: not as it was written")


def write_list(path, files):
    """Write a list of files by name, with their digests, for `check_list`.

    Args:
        path: where to.
        files: dict of name to path, or to a digest where it is known.
    """
    digests = {
        name: of(one) if isinstance(one, Path) else one for name, one in files.items()
    }
    Path(path).write_text(sealed({"files": digests}), encoding="utf-8")


def check_list(path, files):
    """Check files by a list that `write_list` wrote.

    Args:
        path: of the list.
        files: dict of name to path, all that are listed.

    Raises:
        Damaged: the list or a file is not as it was written, or they do not match.
    """
    expected = opened(path)["files"]
    if odd := set(expected) ^ set(files):
        raise Damaged(f"{path}: does not list the files that there are: {min(odd)}")
    for name, one in files.items():
        check(one, expected[name])


def write(folder, **more):
    """Write the list of a folder's files and their digests, `LIST`.

    Of a file that has its digests beside it, see `writing_rows`, the size is listed:
    `Rows` checks what it reads.

    Args:
        folder: Path, with all files that it shall have.
        more: JSON-able values to keep with the list.
    """
    files, rows = {}, {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == LIST:
            continue
        if beside(path).is_file():
            rows[name] = path.stat().st_size
        else:
            files[name] = of(path)
    text = sealed(more | {"files": files, "rows": rows})
    (folder / LIST).write_text(text, encoding="utf-8")


def verify(folder):
    """Check a folder by its list.

    Returns:
        What `write` was given to keep with it, a dict.

    Raises:
        Damaged: the list, or a file, is missing, is not listed, or is not as it was
            written.
    """
    folder = Path(folder)
    if not (folder / LIST).is_file():
        raise Damaged(f"{folder}: no {LIST}, so an older version made it")
    record = opened(folder / LIST)
    files, rows = record.pop("files"), record.pop("rows")
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir()
    }
    if odd := there ^ {LIST, *files, *rows}:
        state = "not listed" if min(odd) in there else "no such file"
        raise Damaged(f"{folder / min(odd)}: {state}")
    for name, size in rows.items():
        if (found := (folder / name).stat().st_size) != size:
            raise Damaged(f"{folder / name}: expected {size} bytes, found {found}")
    for name, expected in files.items():
        check(folder / name, expected)
    return record


def begin_array(file, dtype, shape):
    """Write the header of a .npy file, to which the caller appends the rows.

    Through a memory map a full disk would be a crash; this way it is an error.

    Args:
        file: a file that is open for binary writing.
        dtype: dtype of the array.
        shape: shape of the whole array.
    """
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def beside(path):
    """Where the digests of a file's rows lie."""
    return Path(f"{path}{ROWS}")


@contextmanager
def writing_rows(path, dtype, shape):
    """Write a .npy file a few rows at a time, and their digests beside it.

    Args:
        path: of the file.
        dtype: dtype of the array.
        shape: shape of the whole array.

    Yields:
        Function of an array, the next rows, in that dtype.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "wb"))
        begin_array(file, dtype, shape)
        file.flush()
        head = Path(path).read_bytes()
        digests = [xxhash.xxh3_64_intdigest(head)]

        def append(rows):
            data = np.ascontiguousarray(rows, dtype)
            digests.extend(map(xxhash.xxh3_64_intdigest, _flat(data)))
            file.write(data)

        yield append
        np.array(digests, "<u8").tofile(beside(path))


def _flat(rows):
    """An array's rows as bytes, uint8 (rows, bytes)."""
    return rows.reshape(len(rows), int(np.prod(rows.shape[1:]))).view(np.uint8)


class Rows:
    """Rows of a .npy file, each checked whenever it is read.

    They are read from the file, not through a memory map, which would keep in memory
    every page that it has read.

    Args:
        path: of a file that `writing_rows` wrote.

    Attributes:
        shape: of the whole array.
        dtype: of its values.

    Raises:
        Damaged: the file, or that of its digests, is missing or cut short.
    """

    def __init__(self, path):
        self.path = path
        try:
            self.file = os.open(path, os.O_RDONLY)
            self.digests = np.fromfile(beside(path), "<u8")
        except FileNotFoundError as error:
            raise Damaged(f"{error.filename}: no such file") from None
        weakref.finalize(self, os.close, self.file)
        # The magic, and the length of the rest.
        self.begin = MAGIC + int.from_bytes(
            os.pread(self.file, MAGIC, 0)[-2:], "little"
        )
        head = os.pread(self.file, self.begin, 0)
        if not len(self.digests) or self._digest(head) != self.digests[0]:
            raise Damaged(f"{path}: its header is not as it was written")
        self.digests = self.digests[1:]
        header = io.BytesIO(head)
        np.lib.format.read_magic(header)
        self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(header)
        self.width = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        expected = self.begin + len(self) * self.width
        found = os.fstat(self.file).st_size, len(self.digests)
        if found != (expected, len(self)):
            raise Damaged(
                f"{path}: expected {expected} bytes and {len(self)} digests, found "
                f"{found[0]} and {found[1]}"
            )

    _digest = staticmethod(xxhash.xxh3_64_intdigest)

    def __len__(self):
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, rows):
        """Read rows.

        Args:
            rows: a slice, or an integer array.

        Returns:
            Array of them.

        Raises:
            Damaged: one is not as it was written; `row` is its number.
        """
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        made = np.empty((len(rows), *self.shape[1:]), self.dtype)
        self.read_into(made, np.arange(len(made)), rows)
        return made

    def read_into(self, made, places, rows):
        """Read rows into places of an array; the rest as for indexing."""
        numbers, expected = rows.tolist(), self.digests[rows].tolist()
        width, data = self.width, memoryview(_flat(made).reshape(-1))
        for place, number, one in zip(places.tolist(), numbers, expected):
            row = data[place * width : (place + 1) * width]
            os.preadv(self.file, (row,), self.begin + number * width)
            if self._digest(row) != one:
                raise Damaged(
                    f"{self.path}: row {number} is not as it was written", number
                )

    def verify(self):
        """Read all rows, in constant memory; the rest as for indexing."""
        size = max(BLOCK // self.width, 1)
        for start in range(0, len(self), size):
            self[start : start + size]


def packed(data):
    """The digest of bytes, as files of many digests have it: 8 bytes."""
    return xxhash.xxh3_64_intdigest(data).to_bytes(8, "little")


def parts(path, size):
    """How many parts of a file, from the first, are as they were written.

    The others are cut off, as are their digests.

    Args:
        path: of a file that was written part by part, each followed by its `packed`
            digest in the file `beside`; it need not be there.
        size: bytes of a part; the last may be shorter.

    Returns:
        Their number.
    """
    path = Path(path)
    for one in (path, beside(path)):
        if not one.exists():
            one.touch()
    expected = beside(path).read_bytes()
    done = kept = 0
    with path.open("r+b") as file:
        while part := file.read(size):
            if packed(part) != expected[8 * done : 8 * (done + 1)]:
                break
            done, kept = done + 1, kept + len(part)
        if done < len(expected) // 8:
            logger.warning("%s: cut short or damaged after part %d", path, done)
    for one, length in ((path, kept), (beside(path), 8 * done)):
        if one.stat().st_size != length:
            os.truncate(one, length)
    return done
