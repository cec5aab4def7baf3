import { describe, expect, it } from 'vitest';
import { commentedFields, parseYaml, stringifyYaml, withField } from '../../../shared/runtime/yaml.ts';

const parse = (text: string) => parseYaml(text, 'tessera.yaml', 'TESSERA_CONFIG');

describe('parseYaml', () => {
  it('reads plain data', () => {
    expect(parse('a: [1, x, yes]\nb: {c: null}')).toEqual({ a: [1, 'x', 'yes'], b: { c: null } });
    expect(parse('')).toBeNull();
    expect(parse('# only a comment')).toBeNull();
  });

  it.each([
    ['a: 1\nb:\n\t- c', 'tessera.yaml:3:1: the line is indented by a tab'],
    ['a: 1\na: 2', 'tessera.yaml:2:1: Map keys must be unique'],
    ['a: b: c', /^tessera\.yaml:1:4: Nested mappings/],
    ['a: [1, 2', /^tessera\.yaml:1:\d+: /],
    ['a: !!js/function x', /^tessera\.yaml:1:4: Unresolved tag/],
    ['a: *b', /^tessera\.yaml: .*alias/i],
    ['a: &a [*a]', /^tessera\.yaml: an anchor \(`&name`\) holds an alias/],
    ['--- 1\n--- 2', /^tessera\.yaml:\d+:\d+: a second document begins here/],
  ])('says where %j is wrong, in one line', (text, message) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'TESSERA_CONFIG', message: expect.stringMatching(message) }),
    );
    try {
      parse(text);
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
  });

  it('refuses documents that would grow without bound', () => {
    const bomb = `a: &a [x]\n${Array.from({ length: 12 }, (_, i) => `${'bcdefghijklm'[i]}: &${'bcdefghijklm'[i]} [${Array(9).fill(`*${'abcdefghijkl'[i]}`)}]`).join('\n')}`;
    expect(() => parse(bomb)).toThrow(/alias/i);
  });

  it.each([
    ['lists', `${'['.repeat(3000)}${']'.repeat(3000)}`],
    ['lists that never end', '['.repeat(20_000)],
    ['maps', '{a: '.repeat(2000)],
    ['blocks', `${'- '.repeat(3000)}a`],
    ['keys', '? '.repeat(3000)],
    ['values', ': '.repeat(3000)],
    ['lines', Array.from({ length: 400 }, (_, k) => `${' '.repeat(k)}a:`).join('\n')],
  ])('refuses %s within each other: they ended the whole process, not only the command', (_what, text) => {
    expect(() => parse(text)).toThrow(/nests deeper/);
  });

  it('accepts any nesting that occurs in practice', () => {
    expect(JSON.stringify(parse(`${'['.repeat(60)}${']'.repeat(60)}`))).toBe(`${'['.repeat(60)}${']'.repeat(60)}`);
    const lines = Array.from({ length: 60 }, (_, k) => `${'  '.repeat(k)}a:`).join('\n');
    expect(JSON.stringify(parse(lines))).toContain('{"a":'.repeat(60));
    const text = `note: |\n${' '.repeat(200)}- [{: an art of brackets\nlist: [${'x: 1, '.repeat(500)}]`;
    expect(parse(text)).toMatchObject({ note: '- [{: an art of brackets\n' });
  });
});

describe('stringifyYaml', () => {
  it('writes remarks after the lines that they belong to, and finds them again', () => {
    const value = { name: 'x', input: { shape: [1, 3], color: 'rgb' }, tiles: [{ grid: [2, 2] }] };
    const text = stringifyYaml(value, {
      heading: 'Written by a test.\nTwo lines.',
      comments: [
        { path: ['input', 'shape'], text: 'guessed' },
        { path: ['input', 'color'], text: 'guessed' },
        { path: ['input', 'nothing'], text: 'guessed' },
      ],
    });
    expect(text).toBe(
      '# Written by a test.\n# Two lines.\n\nname: x\ninput:\n  shape: [1, 3] # guessed\n  color: rgb # guessed\ntiles:\n  - grid: [2, 2]\n',
    );
    expect(commentedFields(text, 'guessed')).toEqual(['input.shape', 'input.color']);
    expect(parse(text)).toEqual(value);
  });

  it('finds no other remark, nor one that was removed', () => {
    expect(commentedFields('a: 1 # measured\nb: 2\n# guessed\nc: 3', 'guessed')).toEqual([]);
    expect(commentedFields('- [', 'guessed')).toEqual([]);
  });
});

describe('withField', () => {
  const text = '# by hand\nname: x # guessed\n\ninput: {shape: [1, 3]}\n';
  const set = (yaml: string, value: unknown) => withField(yaml, 'found', value, 'x.yaml', 'TESSERA_MODEL_CARD');

  it('adds a field and leaves everything else as it was written', () => {
    const changed = set(text, [{ codecs: { relu: 'clip:0:6:4' }, bounds: [0, 6] }]);
    expect(changed).toBe(`${text}found:\n  - codecs:\n      relu: clip:0:6:4\n    bounds: [0, 6]\n`);
    expect(commentedFields(changed, 'guessed')).toEqual(['name']);
    expect(set(changed, [])).toBe(`${text}found: []\n`);
  });

  it('refuses a document that cannot be read', () => {
    expect(() => set('a: [', [])).toThrow(/x\.yaml:1/);
    expect(() => set('- a list', [])).toThrow(/not fields/);
  });
});
