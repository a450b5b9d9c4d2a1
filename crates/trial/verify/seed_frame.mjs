// The frame sampling system's way to sign in Node, for the signature in the body: what was parsed, without that member,
// written anew.
import crypto from "node:crypto";

class WebhookSender {
  constructor(secretKey) {
    this.secretKey = secretKey;
  }

  generateSignature(payload) {
    const payloadString = JSON.stringify(payload);
    return crypto
      .createHmac('sha256', this.secretKey)
      .update(payloadString)
      .digest('base64');
  }
}

export function verify(secret, headers, body) {
  const { signature, ...payload } = JSON.parse(body);
  return signature === `sha256=${new WebhookSender(secret).generateSignature(payload)}`;
}
