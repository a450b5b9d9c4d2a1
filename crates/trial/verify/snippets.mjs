// Reads cases as JSON lines {file, secret, headers, body (hex), now?, parts?, isParsed?}, calls the function verify()
// of each file, and writes {accepted} for each case, or {error} if it did not return a boolean.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

for await (const line of createInterface({ input: process.stdin })) {
  const { file, secret, headers, body, now, parts, isParsed } = JSON.parse(line);
  const { verify } = await import(pathToFileURL(file));
  let answer;
  try {
    const bytes = Buffer.from(body, "hex");
    const given = isParsed ? parse(bytes) : bytes;
    const accepted = given === undefined ? false : verify(secret, headers, given, now, parts);
    answer = typeof accepted === "boolean" ? { accepted } : { error: `it answered ${accepted}` };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}

// Returns what a framework hands over; frameworks refuse invalid JSON before any handler sees it.
function parse(bytes) {
  try {
    return JSON.parse(bytes);
  } catch {
    return undefined;
  }
}
