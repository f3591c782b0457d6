"""The `edgesync` command: `serve`, `sim`, `demo`, `bench`."""


def version() -> str:
    """The version that was installed: the tag's, or a development version after the last tag."""
    # Imported here, since `edgesync --help` has to be fast.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version("edgesync")
    except PackageNotFoundError:
        return "unknown"  # a checkout on the path that was never installed
