"""From a name to a local folder: bundled, on disk, or on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from nbllm.errors import ModelError, did_you_mean

BUNDLED = {"tiny": Path(__file__).parents[1] / "assets" / "tiny"}
WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]
NOT_WANTED = ["*/*", "consolidated*.safetensors"]
"""Files of a repository in other layouts, which hold the same weights once more."""


def find(model: str | Path, revision: str | None = None) -> Path:
    """The local folder of a bundled name, a folder, or a hub id (downloaded when not in the cache).

    Raises `ModelError` when there is none, with what to do about it.
    """
    if str(model) in BUNDLED:
        return BUNDLED[str(model)]
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise ModelError(
            f"model must be a folder, {model} is a file; give the folder that it is in"
        )
    if str(model).count("/") == 1 and not str(model).startswith((".", "/", "~")):
        return download(str(model), revision)
    hint = did_you_mean(str(model), list(BUNDLED))
    raise ModelError(
        f"no model {str(model)!r}: neither a bundled name ({', '.join(BUNDLED)}), nor a folder, "
        f"nor a hub id of the form owner/name{hint}"
    )


def download(name: str, revision: str | None = None) -> Path:
    """The cached snapshot of a hub id, brought up to date; offline, the cached one as it is.

    huggingface_hub shows the progress, goes on with files that a broken connection left, and
    follows HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE.
    """
    # heavy, and only needed here
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            name, revision=revision, allow_patterns=WANTED, ignore_patterns=NOT_WANTED
        )
    except Exception as error:
        raise ModelError(_explained(name, revision, error)) from None
    return Path(found)


def _explained(name: str, revision: str | None, error: Exception) -> str:
    """What went wrong, and the way out."""
    from huggingface_hub import errors
    from huggingface_hub.constants import ENDPOINT

    at = "" if revision is None else f" at revision {revision!r}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{name!r} is gated: accept its terms at {ENDPOINT}/{name}, then log in with "
            "huggingface_hub.login() or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name!r} has no revision {revision!r}: give a branch, a tag or a commit of it"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"there is no folder {name!r}, and no such model on {ENDPOINT}; if it is a private one, "
            "log in with huggingface_hub.login() or set HF_TOKEN"
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            f"{name!r}{at} is not in the local cache, and {ENDPOINT} cannot be reached (offline mode, "
            "or no connection); load it once with a connection, or give a local folder"
        )
    # the hub's own errors run over many lines; the first one says what happened
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"cannot get {name!r}{at} from {ENDPOINT}, and there is no such folder: {reason}"
