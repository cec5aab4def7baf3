/** A label as a level of a topic: `_` for characters other than `A-Z a-z 0-9 _ -`, at most 64 of them. */
export const labelLevel = (label: string): string => label.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 64) || '_';
