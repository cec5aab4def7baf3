/**
 * The text with secrets in URLs replaced by `***`: passwords (`scheme://user:password@host`, also misspelt ones, and with
 * characters that should have been escaped), the values of queries, and all that comes after the host in other URLs than
 * those of brokers, since many cameras are given their passwords there.
 */
export function hideUserInfo(text: string): string {
  return text
    .replace(/:\/\/([^/@:\s"]*):[^\s"]*@/g, '://$1:***@')
    .replace(/(^|[/"\s])([^/@:\s"]*):[^/@\s"]*@/g, '$1$2:***@')
    .replace(/\b(?!(?:mqtt|ws|tcp|tls|ssl)s?:)([a-z][a-z0-9+.-]*:\/\/[^/\s"?#]*\/)[^\s"]+/gi, '$1***')
    .replace(/([?&][^=&\s"?]+=)[^&\s"#]+/g, '$1***')
    .replace(SECRET_PAIR, '$1***');
}

/** A value whose name says that it is a secret, as in the path `/user=admin_password=x_channel=1`. */
const SECRET_PAIR = /((?:pass(?:wor[dt])?|passwd|pwd|token|secret|auth|key)=)[^&_\s"/;,]+/gi;

/** The text with each of these secrets, longer ones first, and those in URLs replaced by `***`. */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  return hideUserInfo(secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text));
}
