const FORM = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * A frame's trace context (W3C Trace Context, section 3.2: version, trace id, parent id, flags); undefined for anything
 * else, which is ignored (section 4.3).
 */
export function traceparentOf(value: unknown): string | undefined {
  return typeof value === 'string' && FORM.test(value) ? value : undefined;
}
