import { z } from 'zod';
import { type ErrorCode, TesseraError } from './errors.ts';

/** zod, imported here and nowhere else. */
export { z };

/** One line with the first wrong field, the value's type and the accepted values. */
export function explain(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'not valid';
  const path = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${path.replace(/^\./, '') || 'value'}: ${issue.message}`;
}

/** Validates `value`; throws a TesseraError with `code` that names the field, the given value and the accepted ones. */
export function parse<T>(schema: z.ZodType<T>, value: unknown, code: ErrorCode, what: string, hint?: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new TesseraError(code, `${what}: ${explain(result.error)}`, hint === undefined ? {} : { hint });
}
