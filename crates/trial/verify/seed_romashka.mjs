// ROMASHKA's receiver, with its own code to verify Shopify and HubSpot.
import { createHash, createHmac } from "node:crypto";

export function verify(secret, headers, body) {
  const payload = body.toString();
  if (headers["x-shopify-hmac-sha256"] !== undefined) {
    // Shopify - HMAC-SHA256
    const expectedSignature = createHmac('sha256', secret)
      .update(payload, 'utf8')
      .digest('base64');
    return headers["x-shopify-hmac-sha256"] === expectedSignature;
  }
  // HubSpot - SHA256 hash
  const expectedSignature = createHash('sha256')
    .update(secret + payload)
    .digest('hex');
  return headers["x-hubspot-signature"] === expectedSignature;
}
