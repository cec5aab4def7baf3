import { describe, expect, it } from 'vitest';
import { createLog } from '../../../shared/runtime/log.ts';

// Lost if these fail: a log that people cannot read, or that machines cannot parse.

function lines(format: 'text' | 'json', level: 'debug' | 'info' | 'silent' = 'info') {
  const written: string[] = [];
  const log = createLog({ level, format, name: 'node pi-1', stream: { write: (line) => written.push(line) } });
  log.debug('hidden below info');
  log.warn('too slow', { node: 'pi-2', ms: 12.3456, reason: 'two words' });
  return written;
}

describe('createLog', () => {
  it('writes text as one readable line', () => {
    expect(lines('text')).toHaveLength(1);
    expect(lines('text')[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} warn {2}node pi-1 {2}too slow {2}node=pi-2 {2}ms=12\.346 {2}reason="two words"\n$/,
    );
  });

  it('removes control characters from ids and texts of other programs', () => {
    const written: string[] = [];
    const log = createLog({
      level: 'info',
      format: 'text',
      name: 'x',
      stream: { write: (line) => written.push(line) },
    });
    log.warn('client \u001b[2J\u0007', { client: '\u001b]0;x\u202e', stack: 'a\n\u009bb' });
    expect(written[0]).toMatch(/client \?\[2J\? {2}client=\?]0;x\? {2}stack="a\\n\?b"\n$/);
  });

  it('writes json as one object with a time in ISO 8601', () => {
    const [line] = lines('json');
    expect(JSON.parse(line!)).toMatchObject({ level: 'warn', name: 'node pi-1', msg: 'too slow', node: 'pi-2' });
    expect(Number.isNaN(Date.parse(JSON.parse(line!).time))).toBe(false);
  });

  it('logs from its level on', () => {
    expect(lines('text', 'debug')).toHaveLength(2);
    expect(lines('text', 'silent')).toHaveLength(0);
  });
});
