// The library of Standard Webhooks for JavaScript.
import { Webhook } from "standardwebhooks";

export function verify(secret, headers, body) {
  try {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  } catch {
    return false;
  }
}
