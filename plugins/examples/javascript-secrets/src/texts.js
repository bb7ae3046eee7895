// What the SDK brings for Rust: every text with its place, positions that count bytes, and errors that say where.

import { write } from 'octroi:policy/log@0.1.0';

const utf8 = new TextEncoder();

/**
 * The functions of an interface, so that an `Error` which none of them catches leaves a line in the gateway's log: its
 * name, and where it was thrown, innermost first. The gateway itself learns that the policy trapped and no more. Not its
 * message, which may hold text of the request.
 */
export function traced(functions) {
  const trace = (run) => (...given) => {
    try {
      return run(...given);
    } catch (error) {
      if (error instanceof Error) write('error', [error.name, ...error.stack.trim().split('\n')].join(' < '));
      throw error;
    }
  };
  return Object.fromEntries(Object.entries(functions).map(([name, run]) => [name, trace(run)]));
}

/**
 * Every text of the messages, as `{ text, message, part, role, kind, name, released }`. `name` is the tool's, of calls and
 * results. `released` counts what the client of a stream already has of the text, in UTF-16 units: 0 outside streams.
 * Parts without text are left out.
 */
export function* texts(messages) {
  for (const [message, { role, parts }] of messages.entries()) {
    for (const [part, { kind, text, name, window }] of parts.entries()) {
      if (text !== '') yield { text, message, part, role, kind, name, released: units(text, window?.released ?? 0) };
    }
  }
}

/**
 * What of a match can still be replaced, as `[start, end]` in units: all of it outside streams, `undefined` when the client
 * already has the whole of it. An edit of more is refused (`bad_edit`). To mask the rest of a match that began in what
 * went out is better than to let it go.
 */
export function editable({ released }, start, end) {
  if (start >= released) return [start, end];
  return end > released ? [released, end] : undefined;
}

/** How many UTF-16 units the first `bytes` bytes of a text are. A byte order mark is one of them. */
function units(text, bytes) {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return bytes === 0 ? 0 : decoder.decode(utf8.encode(text).subarray(0, bytes)).length;
}

/**
 * The gateway counts bytes of UTF-8, JavaScript counts UTF-16 units: in `Grüße 😀 x` the `x` is unit 9 and byte 13.
 * Gives the byte for each of these units, as a map. However many there are, the text is encoded once.
 */
export function byteOffsets(text, units) {
  const bytes = new Map();
  let unit = 0;
  let byte = 0;
  for (const next of [...units].sort((a, b) => a - b)) {
    byte += utf8.encode(text.slice(unit, next)).length;
    unit = next;
    bytes.set(unit, byte);
  }
  return bytes;
}
