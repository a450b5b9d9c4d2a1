// LeafEngines' receiver, with its own code to verify: it signs the body as parsed by express.json() and serialized
// again.
import crypto from "node:crypto";

function receive(req, res) {
  const signature = req.headers['x-leafengines-signature'];
  const payload = JSON.stringify(req.body);

  const expected = crypto
    .createHmac('sha256', process.env.WEBHOOK_SECRET)
    .update(payload)
    .digest('hex');

  if (signature !== `sha256=${expected}`) {
    return res.status(401).send('Invalid signature');
  }

  res.status(200).send('OK');
}

export function verify(secret, headers, body) {
  process.env.WEBHOOK_SECRET = secret;
  let answer;
  const res = { status: (code) => ({ send: () => (answer = code) }) };
  // express.json() leaves bodies of other media types alone.
  const isParsed = /^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '');
  try {
    receive({ headers, body: isParsed ? JSON.parse(body) : {} }, res);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    answer = 400;
  }
  return answer === 200;
}
