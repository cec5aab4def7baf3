import { describe, expect, it } from 'vitest';
import { COMMANDS, GROUPS } from '../../cli/commands.ts';
import { table } from '../../cli/output.ts';

const loaded = await Promise.all(COMMANDS.map(async ({ name, load }) => ({ name, command: (await load()).command })));

describe('the list of commands', () => {
  it.each(loaded)('$name: options are read under their keys, and have a description', ({ command }) => {
    for (const [key, { flags, text }] of Object.entries(command.options)) {
      // The parser stores a value under the long flag in camel case; another key would read undefined for ever.
      const long = /--([a-z-]+)/.exec(flags)![1]!;
      expect(key).toBe(long.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()));
      expect(text).not.toBe('');
    }
  });

  it.each(loaded)(
    '$name: has examples that begin with its name, and a description in sentences',
    ({ name, command }) => {
      expect(command.examples.length).toBeGreaterThan(0);
      for (const [line] of command.examples) expect(line.startsWith(name.split(' ')[0]!)).toBe(true);
      expect(command.description).toMatch(/^[A-Z].*\.$/s);
    },
  );

  it('has a summary for every group', () => {
    const groups = COMMANDS.filter(({ name }) => name.includes(' ')).map(({ name }) => name.split(' ')[0]!);
    for (const group of groups) {
      expect(GROUPS[group] ?? COMMANDS.find(({ name }) => name === group)?.summary, group).toBeDefined();
    }
  });
});

describe('a table', () => {
  it('aligns columns and leaves no space at the end of lines', () => {
    const lines = table(
      [
        { title: 'name', cell: ([name]: [string, number]) => name },
        { title: 'n', align: 'right', cell: ([, n]) => String(n) },
        { title: '', cell: () => '' },
      ],
      [
        ['a', 5],
        ['longer', 123],
      ],
    );
    expect(lines).toEqual(['name      n', 'a         5', 'longer  123']);
  });
});
