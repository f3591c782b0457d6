"""URLs by which a node may fetch one object for a while (AWS Signature Version 4, in the query).

The signature needs no network, and botocore knows the details of it; it comes with the extra
`edgesync[objects]`.
"""

import importlib.util
import logging
from datetime import timedelta

from cloud.core.objects import Presign, Unsigned, cannot_sign

CAN_SIGN = importlib.util.find_spec("botocore") is not None


def presigner(lifetime: timedelta) -> Presign:
    """A function that signs URLs, valid for *lifetime*; `cannot_sign` without the extra."""
    if not CAN_SIGN:
        return cannot_sign
    # At DEBUG it logs what it signs, and with that the id of the key.
    logging.getLogger("botocore.auth").setLevel(logging.INFO)
    seconds = int(lifetime.total_seconds())

    def presign(unsigned: Unsigned) -> str:
        # Loaded with the first object: most servers have none.
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        keys = Credentials(unsigned.ak, unsigned.sk)
        request = AWSRequest("GET", unsigned.url)
        S3SigV4QueryAuth(keys, "s3", unsigned.region, seconds).add_auth(request)
        url: str = request.url
        return url

    return presign
