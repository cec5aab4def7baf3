import { describe, expect, it } from 'vitest';
import { SCHEMAS } from '../cli/schemas.ts';
import { topics } from '../shared/protocol/topics.ts';
import { decode, encode } from '../shared/runtime/cbor.ts';
import { examplesOf, repositoryFile } from './support/examples.ts';

/** Documentation that is wrong is worse than none: what it shows is what the code takes. */

const FILES = ['config', 'model', 'plan'];

describe('docs/protocol.md', () => {
  const examples = examplesOf('docs/protocol.md');

  it.each(examples)('line $line: the example of $schema is one', ({ schema, value }) => {
    const named = SCHEMAS[schema];
    expect(named, `schema ${schema}`).toBeDefined();
    const parsed = named!.schema.parse(value);
    // Equal: no key of the example is unknown to the schema.
    expect(parsed).toEqual(value);
    if (named!.what.includes('CBOR')) expect(decode(encode(value), named!.schema, schema)).toEqual(value);
  });

  it('has an example of every payload under a heading of its name', () => {
    const text = repositoryFile('docs/protocol.md');
    const shown = new Set(examples.map(({ schema }) => schema));
    for (const name of Object.keys(SCHEMAS).filter((name) => !FILES.includes(name))) {
      expect(shown, name).toContain(name);
      expect(text, name).toContain(`\n### ${name}\n`);
    }
  });

  it('lists every topic', () => {
    const text = repositoryFile('docs/protocol.md');
    const named = topics('tessera');
    const shown = [
      named.status,
      named.centralStatus('<id>'),
      named.input('<camera>'),
      named.result('<camera>', '<model>'),
      named.label('<camera>', '<model>'),
      named.tensor('<camera>', '<model>'),
      named.cameraStatus('<camera>'),
      named.nodeStatus('<node>'),
      named.nodeInfo('<node>'),
      named.heartbeat('<node>'),
      named.stats,
      named.plan('<model>'),
      named.trace('<camera>'),
      named.request('<command>'),
      named.response('<command>'),
      ...(['work', 'result', 'tensor', 'control', 'blob-get', 'blob-part'] as const).map((kind) =>
        named.wire('<to>', kind, '<from>'),
      ),
    ];
    for (const topic of shown) expect(text).toContain(`\`${topic}`);
  });
});
