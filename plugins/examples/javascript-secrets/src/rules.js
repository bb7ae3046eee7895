// What is looked for. The secret is the group `secret`, or the whole match where there is no such group.
//
// Texts come from anybody, and may be JSON with `\n` in it. So an expression begins with a literal, not with a
// boundary, and has a bounded length or cannot begin twice in one run of characters: no text makes it quadratic.

export const RULES = {
  'private-key': {
    summary: 'A private key in PEM form',
    severity: 'critical',
    action: 'deny',
    mask: '[PRIVATE KEY]',
    pattern: /-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----(?:(?:[^-]|-(?!----)){0,16384}-----END [A-Z0-9 ]{0,48}-----)?/g,
  },
  'aws-access-key': {
    summary: 'The id of an AWS access key',
    severity: 'high',
    action: 'redact',
    mask: '[AWS KEY]',
    pattern: /A(?:KIA|SIA)[A-Z2-7]{16}(?![A-Z0-9])/g,
  },
  'github-token': {
    summary: 'A token of GitHub, of any kind',
    severity: 'critical',
    action: 'redact',
    mask: '[GITHUB TOKEN]',
    pattern: /gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{82,255}/g,
  },
  jwt: {
    summary: 'A signed JSON Web Token',
    severity: 'high',
    action: 'redact',
    mask: '[JWT]',
    pattern: /eyJ(?:(?<![\w.-]eyJ)|(?<=\\[nrt]eyJ))[\w-]+\.eyJ[\w-]+\.[\w-]{16,}/g,
  },
  'url-password': {
    summary: 'The password in a URL',
    severity: 'high',
    action: 'redact',
    mask: '[PASSWORD]',
    pattern: /:\/\/[^\s\/?#"<>\\:@]{0,128}:(?<secret>[^\s\/?#"<>\\]{1,256})@/dg,
  },
};

/** The rule for tokens of one's own: each begins with one of these prefixes. */
export function ownToken(prefixes) {
  return {
    summary: 'A token of our own',
    severity: 'critical',
    action: 'redact',
    mask: '[TOKEN]',
    pattern: new RegExp(`(?:${prefixes.join('|')})[\\w-]{16,}`, 'g'),
  };
}
