// Tries the world around a policy: the text says what. What it got is the reason of its refusal.

let evaluations = 0;

const TRIES = {
  global: () => (evaluations += 1),
  clock: () => Date.now(),
  random: () => Math.random(),
  file: () => import('node:fs'),
  network: () => fetch('http://127.0.0.1/'),
  timer: () => setTimeout(() => {}, 1),
};

export const lifecycle = {
  configure() {},

  describe() {
    return { name: 'ambient', version: '1.0.0', summary: 'Tries the world around it', rules: [] };
  },
};

export const preCheck = {
  evaluate(context, [{ parts: [{ text }] }]) {
    return { action: 'deny', reason: String(TRIES[text]()), findings: [], edits: [], tags: [] };
  },
};
