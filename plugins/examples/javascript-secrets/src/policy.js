// Keeps credentials out of prompts: masks keys and tokens, refuses private keys.
//
// The exports are the interfaces `lifecycle` and `preCheck` of the world `pre-check-policy`.

import { RULES, ownToken } from './rules.js';
import { byteOffsets, texts, traced } from './texts.js';

const CATEGORY = 'secret';
const ACTIONS = ['off', 'log', 'warn', 'redact', 'require-approval', 'deny'];

/** The rules in force, by id. Filled by `configure`; every evaluation starts from the memory that it left. */
let rules = {};

export const lifecycle = traced({
  configure(json) {
    rules = inForce(JSON.parse(json));
  },

  describe() {
    return {
      name: 'secrets',
      version: '1.0.0',
      summary: 'Keeps credentials out of prompts',
      rules: Object.entries(rules).map(([id, { summary }]) => ({ id, category: CATEGORY, summary })),
    };
  },
});

export const preCheck = traced({
  evaluate(context, messages) {
    const verdict = { action: 'allow', findings: [], edits: [], tags: [] };
    for (const text of texts(messages)) look(text, verdict);
    if (verdict.findings.length > 0) verdict.reason = 'The request holds credentials';
    return verdict;
  },
});

/** Adds to the verdict what one text holds. */
function look({ text, message, part }, verdict) {
  const found = [];
  for (const [rule, { pattern, action, mask, severity }] of Object.entries(rules)) {
    for (const match of text.matchAll(pattern)) {
      const [start, end] = match.indices?.groups.secret ?? [match.index, match.index + match[0].length];
      found.push({ rule, severity, start, end, mask, masked: action === 'redact' });
      verdict.action = stronger(verdict.action, action);
    }
  }
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const bytes = byteOffsets(text, found.flatMap(({ start, end }) => [start, end]));
  const place = ({ start, end }) => ({ message, part, start: bytes.get(start), end: bytes.get(end) });
  for (const match of found) {
    const { rule, severity } = match;
    verdict.findings.push({ rule, category: CATEGORY, severity, place: place(match) });
  }
  for (const match of apart(found.filter(({ masked }) => masked))) {
    const original = text.slice(match.start, match.end);
    verdict.edits.push({ place: place(match), original, replacement: match.mask });
  }
}

/** Edits may not overlap: what does becomes one, under the mask of the first. Takes them by start. */
function apart(found) {
  const edits = [];
  for (const { start, end, mask } of found) {
    const last = edits.at(-1);
    if (last !== undefined && start < last.end) last.end = Math.max(last.end, end);
    else edits.push({ start, end, mask });
  }
  return edits;
}

function stronger(a, b) {
  return ACTIONS.indexOf(a) > ACTIONS.indexOf(b) ? a : b;
}

/** The rules that the settings ask for. Throws a text for the operator: the key, and what is allowed. */
function inForce({ actions = {}, prefixes = [], ...unknown }) {
  for (const key of Object.keys(unknown)) throw `settings.${key}: unknown, expected \`actions\` or \`prefixes\``;
  if (!Array.isArray(prefixes) || !prefixes.every((prefix) => /^[\w-]{3,32}$/.test(prefix))) {
    throw 'settings.prefixes: expected a list of texts of 3 to 32 letters, digits, `_` and `-`';
  }
  if (actions === null || typeof actions !== 'object') throw 'settings.actions: expected a mapping';
  const all = prefixes.length > 0 ? { ...RULES, 'own-token': ownToken(prefixes) } : RULES;
  for (const [id, action] of Object.entries(actions)) {
    if (!Object.hasOwn(all, id)) throw `settings.actions.${id}: unknown, expected one of ${Object.keys(all).join(', ')}`;
    if (!ACTIONS.includes(action)) throw `settings.actions.${id}: expected one of ${ACTIONS.join(', ')}`;
  }
  const chosen = Object.entries(all).map(([id, rule]) => [id, { ...rule, action: actions[id] ?? rule.action }]);
  return Object.fromEntries(chosen.filter(([, { action }]) => action !== 'off'));
}
