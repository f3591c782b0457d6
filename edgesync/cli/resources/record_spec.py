"""The fields of a record in a manifest: those of the API, and its batch."""

import msgspec


class RecordSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What an operator says of a record, and of which batch it is."""

    batch_name: str
    fingerprint_value: str = ""
    node_name: str = ""
