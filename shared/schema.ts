import { z } from 'zod';
import { type ErrorCode, TesseraError } from './errors.ts';

/** zod, imported here and nowhere else. */
export { z };

/** A check of values from outside: a schema, or one behind a check that is faster. */
export interface Schema<T> {
  safeParse(
    value: unknown,
  ): { readonly success: true; readonly data: T } | { readonly success: false; readonly error: z.ZodError };
}

/**
 * A schema behind a faster check of what usually comes: `check` returns the value where the schema accepts it and its
 * result is equal, and undefined where the schema has to say.
 */
export function quickly<T>(check: (value: unknown) => T | undefined, schema: z.ZodType<T>): Schema<T> {
  return {
    safeParse(value) {
      const data = check(value);
      return data === undefined ? schema.safeParse(value) : { success: true, data };
    },
  };
}

/** One line with the first wrong field, the value's type and the accepted values. */
export function explain(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'not valid';
  const path = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${path.replace(/^\./, '') || 'value'}: ${issue.message}`;
}

/** Validates `value`; throws a TesseraError with `code` that names the field, the given value and the accepted ones. */
export function parse<T>(schema: Schema<T>, value: unknown, code: ErrorCode, what: string, hint?: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new TesseraError(code, `${what}: ${explain(result.error)}`, hint === undefined ? {} : { hint });
}
