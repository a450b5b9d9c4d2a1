// How the frame sampling system signs in Node, for the signature in the body: the parsed body, without that member,
// serialized again.
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
