"""The receiver of the frame sampling system, with its own way to verify: Flask's request.data is the body as it came."""

import base64
import hashlib
import hmac


def verify_signature(payload_bytes, given, secret_key):
    signature = hmac.new(
        secret_key.encode('utf-8'),
        payload_bytes,
        hashlib.sha256
    ).digest()
    return hmac.compare_digest(base64.b64encode(signature).decode('utf-8'), given)


def handle_webhook(headers, data, secret):
    # Verify signature
    signature = headers.get('X-Webhook-Signature', '').replace('sha256=', '')
    if not verify_signature(data, signature, secret):
        return {'error': 'Invalid signature'}, 401
    return {'status': 'success'}, 200


def verify(secret, headers, body, now=None):
    # Flask shows headers whatever the case of their names.
    headers = {name.title(): value for name, value in headers.items()}
    return handle_webhook(headers, body, secret)[1] == 200
