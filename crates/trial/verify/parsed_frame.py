"""A receiver of the frame preset that has only what was parsed: it signs what json.dumps makes of it."""

import base64
import hashlib
import hmac
import json


def verify(secret, headers, body, now=None):
    payload = json.loads(body)
    given = payload.pop("signature", "")
    signed = json.dumps(payload, separators=(",", ":")).encode("utf-8")
    digest = hmac.new(secret.encode("utf-8"), signed, hashlib.sha256).digest()
    return hmac.compare_digest(given, "sha256=" + base64.b64encode(digest).decode("ascii"))
