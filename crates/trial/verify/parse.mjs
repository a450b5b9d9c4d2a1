// Reads requests as JSON lines {headers, body, secret}, verifies and parses each as a receiver in Node would, and
// writes the events as JSON lines. A nonzero exit code means that a request was refused.
import { createInterface } from "node:readline";
import { HTTP } from "cloudevents";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { headers, body, secret } = JSON.parse(line);
  new Webhook(secret).verify(body, headers);
  if (!HTTP.isEvent({ headers, body })) {
    throw new Error(`not a CloudEvent: ${body}`);
  }
  for (const event of [HTTP.toEvent({ headers, body })].flat()) {
    event.validate();
    console.log(JSON.stringify(event));
  }
}
