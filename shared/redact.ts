/**
 * The text with secrets in URLs replaced by `***`: passwords (`scheme://user:password@host`, also misspelt ones, and with
 * characters that should have been escaped) and the values of queries, in which cameras are given passwords too.
 */
export function hideUserInfo(text: string): string {
  return text
    .replace(/:\/\/([^/@:\s"]*):[^\s"]*@/g, '://$1:***@')
    .replace(/(^|[/"\s])([^/@:\s"]*):[^/@\s"]*@/g, '$1$2:***@')
    .replace(/([?&][^=&\s"?]+=)[^&\s"#]+/g, '$1***');
}

/** The text with each of these secrets, longer ones first, and those in URLs replaced by `***`. */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  return hideUserInfo(secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text));
}
