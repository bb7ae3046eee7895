// What is looked for. The secret is what the group `secret` matched, or the whole match where there is none.
//
// Texts come from anybody: no expression may need more than one look at each character. So every one of them can begin
// only where its run of characters begins, or has a bounded length.

export const RULES = {
  'private-key': {
    summary: 'A private key in PEM form',
    severity: 'critical',
    action: 'deny',
    mask: '[PRIVATE KEY]',
    pattern:
      /-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY-----(?:[^-]|-(?!----)){0,16384}(?:-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY-----)?/dg,
  },
  'aws-access-key': {
    summary: 'The id of an AWS access key',
    severity: 'high',
    action: 'redact',
    mask: '[AWS KEY]',
    pattern: /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/dg,
  },
  'github-token': {
    summary: 'A token of GitHub, of any kind',
    severity: 'critical',
    action: 'redact',
    mask: '[GITHUB TOKEN]',
    pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{82})\b/dg,
  },
  jwt: {
    summary: 'A signed JSON web token',
    severity: 'high',
    action: 'redact',
    mask: '[JWT]',
    pattern: /(?<![\w.-])eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{16,}/dg,
  },
  'url-password': {
    summary: 'The password in a URL',
    severity: 'high',
    action: 'redact',
    mask: '[PASSWORD]',
    pattern: /\b[a-z][a-z0-9+.-]{1,31}:\/\/[^\s\/:@]{0,128}:(?<secret>[^\s\/@]{1,256})@/dgi,
  },
};

/** The rule for tokens of one's own: each begins with one of these prefixes. */
export function ownToken(prefixes) {
  const any = prefixes.map((prefix) => prefix.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|');
  return {
    summary: 'A token of our own',
    severity: 'critical',
    action: 'redact',
    mask: '[TOKEN]',
    pattern: new RegExp(`(?<![\\w-])(?:${any})[\\w-]{16,}`, 'dg'),
  };
}
