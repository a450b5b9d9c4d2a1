// Humana's receiver, with its own code to verify.
import crypto from "node:crypto";

function verifyWebhook(payload, signature, secret, timestamp) {
  // Verify timestamp (replay protection)
  const now = Math.floor(Date.now() / 1000)
  const receivedTime = parseInt(timestamp)
  if (Math.abs(now - receivedTime) > 300) {
    return false // Reject old requests
  }

  // Verify signature
  const expectedSignature = crypto
    .createHmac('sha256', secret)
    .update(timestamp + '.' + payload)
    .digest('hex')

  return crypto.timingSafeEqual(
    Buffer.from(signature, 'hex'),
    Buffer.from(expectedSignature, 'hex')
  )
}

export function verify(secret, headers, body) {
  try {
    return verifyWebhook(body.toString(), headers["x-humana-signature"], secret, headers["x-humana-timestamp"]);
  } catch (error) {
    // It throws if a signature has another length.
    if (error.code !== "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH") throw error;
    return false;
  }
}
