import { describe, expect, test } from 'vitest';
import { serveEach } from '../../cli/serve-each.ts';
import { TesseraError } from '../../shared/errors.ts';
import { recordingLog } from '../support/recording-log.ts';

/** Lost if these fail: one bad or hanging model keeps the other models of a deployment from being served. */

const never = new Promise<never>(() => {});
const bad = () => Promise.reject(new TesseraError('TESSERA_MODEL_UNSUPPORTED', 'it cannot run'));

async function served(models: Readonly<Record<string, () => Promise<void>>>, patienceMs = 20) {
  const refused: string[] = [];
  const asked: string[] = [];
  const log = recordingLog();
  const listed = Object.keys(models).map((name) => ({ name }));
  const serve = (name: string): Promise<void> => {
    asked.push(name);
    return models[name]!();
  };
  const options = { refuse: (model: string) => void refused.push(model), log, stopped: never, patienceMs };
  const outcome = await serveEach(listed, serve, options).then(
    () => 'served',
    (error: Error) => error.message,
  );
  return { outcome, refused, asked, lines: log.lines };
}

describe('models are served one after another', () => {
  test('and a bad one does not prevent the others', async () => {
    const { outcome, refused, asked, lines } = await served({ a: bad, b: async () => {}, c: bad });
    expect({ outcome, refused, asked }).toEqual({ outcome: 'served', refused: ['a', 'c'], asked: ['a', 'b', 'c'] });
    expect(lines.filter((line) => line.includes('model a is not served'))).toHaveLength(1);
  });

  test('and one that never finishes does not prevent the others', async () => {
    expect(await served({ endless: () => never, b: async () => {} })).toMatchObject({
      outcome: 'served',
      asked: ['endless', 'b'],
    });
  });

  test('and an unexpected fault ends only its own model', async () => {
    const { outcome, refused } = await served({
      a: () => {
        throw new RangeError('a fault');
      },
      b: async () => {},
    });
    expect({ outcome, refused }).toEqual({ outcome: 'served', refused: ['a'] });
  });

  test('and if none can be served, the log says so', async () => {
    expect((await served({ a: bad, b: bad })).outcome).toBe('none of the 2 models can be served');
    expect((await served({ a: bad })).outcome).toBe('it cannot run');
  });

  test('under the name in its card, where that could be read', async () => {
    const refused: string[] = [];
    const log = recordingLog();
    const serve = async (name: string, isCalled: (name: string) => void): Promise<void> => {
      if (name === 'ok') return;
      isCalled('person');
      await bad();
    };
    const listed = [{ name: 'ok' }, { name: 'models/p-v2' }, { name: 'dir/x.onnx', error: 'unreadable' }];
    await serveEach(listed, serve, { refuse: (model) => void refused.push(model), log, stopped: never });
    expect(refused).toEqual(['person', 'x']);
  });
});
