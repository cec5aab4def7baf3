/** The text with passwords in URLs (`scheme://user:password@host`, also misspelt ones) replaced by `***`. */
export function hideUserInfo(text: string): string {
  return text.replace(/(^|[/"\s])([^/@:\s"]*):[^/@\s"]*@/g, '$1$2:***@');
}
