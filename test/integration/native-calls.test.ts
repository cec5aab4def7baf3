import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeModel } from '../../shared/onnx/write.ts';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import { heavyInput, heavyNetwork } from '../support/tiny-network.ts';

/**
 * A process that ends while a thread of it is inside ONNX Runtime. If these fail, `tessera up | head` and a command that
 * fails while nodes compute are aborted (SIGABRT, perhaps with a core dump) in place of ending with their exit code.
 */

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-native-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const compiled = (file: string): string =>
  JSON.stringify(pathToFileURL(compiledFile(import.meta.url, `../../${file}`)));

/** Ends a process by `end` while its second thread runs a network again and again; its exit code and signal. */
async function endedBy(end: string): Promise<[code: number | null, signal: string | null]> {
  const { shape, data } = heavyInput();
  await writeFile(join(folder, 'heavy.onnx'), writeModel(heavyNetwork()));
  await writeFile(
    join(folder, 'thread.mjs'),
    `import { parentPort } from 'node:worker_threads';
     const { loadSession } = await import(${compiled('shared/runtime/ort.ts')});
     const session = await loadSession('${join(folder, 'heavy.onnx')}', { threads: 1 });
     const feeds = new Map([['x', { dtype: 'float32', shape: ${JSON.stringify(shape)}, data: new Uint8Array(${data.byteLength}) }]]);
     await session.run(feeds);
     parentPort.postMessage('runs');
     for (;;) await session.run(feeds);`,
  );
  await writeFile(
    join(folder, 'main.mjs'),
    `import { Worker } from 'node:worker_threads';
     const { endProcess, nativeCall } = await import(${compiled('shared/runtime/native-calls.ts')});
     new Worker(new URL('thread.mjs', import.meta.url)).on('message', () => setTimeout(() => ${end}, 5));`,
  );
  const child = spawn(process.execPath, [join(folder, 'main.mjs')], { stdio: ['ignore', 'inherit', 'ignore'] });
  return (await once(child, 'exit')) as [number | null, string | null];
}

test('waits for the call under way, begins no other, and has its exit code', async () => {
  for (let k = 0; k < 5; k++) expect(await endedBy('endProcess(3)')).toEqual([3, null]);
});

test('is killed where the call takes too long: nothing else ends it', async () => {
  expect(await endedBy('{ void nativeCall(() => new Promise(() => {})); endProcess(3, 20); }')).toEqual([
    null,
    'SIGKILL',
  ]);
});
