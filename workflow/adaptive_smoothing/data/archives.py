"""Archives of datasets, unpacked for as long as somebody reads them.

In their own folder archives stay packed, so that nothing half unpacked is ever taken for whole.
"""

import contextlib
import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data.download import File, obtain
from adaptive_smoothing.data.types import Source


@contextlib.contextmanager
def unpacked(owner: str, files: Sequence[File], source: Source) -> Iterator[Path]:
    """Obtain `files` and lend a temporary folder in which all of their parts lie, in the folders of the files.

    An archive is a .tar.gz, or a .gz of one part. Raises UserError as `obtain` does, or if one cannot be unpacked.
    """
    obtain(owner, files, source)
    with tempfile.TemporaryDirectory(prefix="adaptive-smoothing-") as name:
        for file in files:
            origin, target = source.root / file.folder, Path(name) / file.folder
            target.mkdir(parents=True, exist_ok=True)
            if (origin / file.name).exists():
                _unpack(owner, origin / file.name, target)
            else:
                for part in file.parts:
                    (target / part.name).parent.mkdir(parents=True, exist_ok=True)
                    (target / part.name).symlink_to((origin / part.name).resolve())
        yield Path(name)


def _unpack(owner: str, archive: Path, folder: Path) -> None:
    """Unpack an archive into `folder`; a member of a .tar.gz that would leave the folder is refused."""
    try:
        if archive.name.endswith(".tar.gz"):
            shutil.unpack_archive(archive, folder, "gztar", filter="data")
        else:
            with gzip.open(archive) as packed, (folder / archive.stem).open("wb") as content:
                shutil.copyfileobj(packed, content)
    except (OSError, EOFError, zlib.error, tarfile.TarError, shutil.ReadError) as error:
        raise UserError(f"{owner}: {archive} cannot be unpacked into {folder} ({error})") from error
