// Refuses requests that name a confidential project.
//
// The exports are the interfaces `lifecycle` and `preCheck` of the world in `wit/world.wit`.

import { byteOffsets, texts, traced } from './texts.js';

const RULE = { id: 'project', category: 'confidential', summary: "The project's name" };

/** Set by `configure`; every evaluation starts from the memory that it left. */
let pattern;

export const lifecycle = traced({
  /** Throws a text for the operator: the key, and what is allowed. */
  configure(json) {
    const { project, ...unknown } = JSON.parse(json);
    for (const key of Object.keys(unknown)) throw `settings.${key}: unknown, expected \`project\``;
    if (typeof project !== 'string' || project === '') throw 'settings.project: expected a text that is not empty';
    pattern = new RegExp(project.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'i');
  },

  describe() {
    return { name: 'no-project-x', version: '1.0.0', summary: 'Keeps a project inside the house', rules: [RULE] };
  },
});

export const preCheck = traced({
  evaluate(context, messages) {
    for (const { text, message, part } of texts(messages)) {
      const match = pattern.exec(text);
      if (match === null) continue;
      const [start, end] = [match.index, match.index + match[0].length];
      const bytes = byteOffsets(text, [start, end]);
      const place = { message, part, start: bytes.get(start), end: bytes.get(end) };
      return {
        action: 'deny',
        reason: 'The request names a confidential project',
        findings: [{ rule: RULE.id, category: RULE.category, severity: 'high', place }],
        edits: [],
        tags: [],
      };
    }
    return { action: 'allow', findings: [], edits: [], tags: [] };
  },
});
