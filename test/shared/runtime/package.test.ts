import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Initializer, Model } from '../../../shared/onnx/model.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { constantTensor, numbersOf } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import type { BlobStore } from '../../../shared/ports.ts';
import { modelManifest } from '../../../shared/protocol/messages/control.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { loadSession } from '../../../shared/runtime/ort.ts';
import { externalFiles, loadModelFile, packModel } from '../../../shared/runtime/package.ts';
import { tinyInput, tinyNetwork } from '../../support/tiny-network.ts';
import { node, sketch } from '../onnx/build.ts';
import { body, call, withFunctions } from '../onnx/functions.ts';

let folder: string;
let store: BlobStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-package-'));
  store = await openBlobStore(join(folder, 'blobs'));
});
afterEach(() => rm(folder, { recursive: true }));

function withWeight(model: Model, name: string, data: Initializer['data']): Model {
  const initializers = new Map(model.graph.initializers);
  initializers.set(name, { ...initializers.get(name)!, data });
  return { ...model, graph: { ...model.graph, initializers } };
}

function inline(model: Model, name: string): Uint8Array {
  const { data } = model.graph.initializers.get(name)!;
  if (data.kind !== 'inline') throw new Error(`${name} is external`);
  return data.bytes;
}

describe('packModel', () => {
  it('leaves small weights in the skeleton and makes one blob of equal large ones', async () => {
    const model = tinyNetwork();
    const manifest = await packModel({ name: 'tiny', model, store });
    expect(modelManifest.parse(manifest)).toEqual(manifest);
    expect(manifest.blobs.map((blob) => blob.size).sort()).toEqual([16 * 3 * 9 * 4, 8 * 16 * 9 * 4].sort());
    for (const { sha, size } of [manifest.skeleton, ...manifest.blobs]) expect(await store.size(sha)).toBe(size);
    const skeleton = readModel(await store.read(manifest.skeleton.sha, 0, manifest.skeleton.size));
    expect(skeleton.graph.initializers.get('b1')?.data.kind).toBe('inline');
    expect(skeleton.graph.initializers.get('w1')?.data).toMatchObject({ kind: 'external', offset: 0 });
  });

  it('gives equal models the same identity and other weights another one, or else nodes compute with old weights', async () => {
    const first = await packModel({ name: 'a', model: tinyNetwork(), store });
    expect((await packModel({ name: 'b', model: tinyNetwork(), store })).skeleton).toEqual(first.skeleton);
    const bytes = inline(tinyNetwork(), 'w1').slice();
    bytes[0]! ^= 1;
    const other = withWeight(tinyNetwork(), 'w1', { kind: 'inline', bytes });
    expect((await packModel({ name: 'a', model: other, store })).skeleton.sha).not.toBe(first.skeleton.sha);
  });

  it('makes a skeleton that runs from the blob folder with the same result, bit for bit', async () => {
    const { skeleton } = await packModel({ name: 'tiny', model: tinyNetwork(), store });
    const bytes = await store.read(skeleton.sha, 0, skeleton.size);
    const packed = await loadSession(bytes, { threads: 1, dataFolder: store.folder });
    const whole = await loadSession(writeModel(tinyNetwork()), { threads: 1 });
    const feeds = new Map([['x', tinyInput()]]);
    expect(await packed.run(feeds)).toEqual(await whole.run(feeds));
  });

  it('reads external weights through its caller, and says so where it cannot', async () => {
    const model = tinyNetwork();
    const bytes = inline(model, 'w2');
    const outside = withWeight(model, 'w2', { kind: 'external', location: 'f', offset: 4, length: bytes.length });
    const manifest = await packModel({ name: 'tiny', model: outside, store, readExternal: async () => bytes });
    expect(manifest).toEqual(await packModel({ name: 'tiny', model, store }));
    await expect(packModel({ name: 'tiny', model: outside, store })).rejects.toMatchObject({
      code: 'TESSERA_MODEL_INVALID',
    });
  });
});

describe('loadModelFile', () => {
  async function written(location: string): Promise<string> {
    const model = tinyNetwork();
    const length = inline(model, 'w1').length;
    const path = join(folder, 'model.onnx');
    await writeFile(path, writeModel(withWeight(model, 'w1', { kind: 'external', location, offset: 8, length })));
    return path;
  }

  it('reads weights from files beside the model', async () => {
    const weights = inline(tinyNetwork(), 'w1');
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data', 'w.bin'), new Uint8Array([...new Uint8Array(8), ...weights]));
    const model = await loadModelFile(await written('data/w.bin'));
    expect(new Uint8Array(inline(model, 'w1'))).toEqual(new Uint8Array(weights));
  });

  describe('with constants that are attributes', () => {
    const external = constantTensor('', 'float32', [4], [1, 2, 3, 4]);
    const outside: Initializer = { ...external, data: { kind: 'external', location: 'c.bin', offset: 4, length: 16 } };
    const nodes = [
      node('Constant', [], ['c'], { value: { kind: 'tensor', value: outside } }),
      node('Add', ['x', 'c'], ['y']),
    ];
    const model = sketch({ nodes, inputs: { x: [4] }, outputs: ['y'] });
    const path = () => join(folder, 'constant.onnx');

    it('reads those of Constant nodes too, or else nodes look for a file that only central has', async () => {
      await writeFile(path(), writeModel(model));
      await writeFile(join(folder, 'c.bin'), new Uint8Array(new Float32Array([0, 1, 2, 3, 4]).buffer));
      const resolved = resolveModel(await loadModelFile(path()));
      expect(numbersOf(resolved.model.graph.initializers.get('c')!)).toEqual([1, 2, 3, 4]);
      expect(await externalFiles(path(), model)).toEqual(['c.bin']);
    });

    it('says which file is missing, by the output of the node', async () => {
      await writeFile(path(), writeModel(model));
      await expect(loadModelFile(path())).rejects.toThrow(/"c".*c\.bin/);
    });

    it('refuses those inside subgraphs and functions, which cannot be fetched, and says what to do', async () => {
      const branches = {
        then_branch: body('then_branch', nodes, ['y']),
        else_branch: body('else_branch', nodes, ['y']),
      };
      const choice = sketch({
        nodes: [node('Cast', ['x'], ['b'], { to: 9 }), node('If', ['b'], ['y'], branches)],
        inputs: { x: [1] },
        outputs: ['y'],
      });
      const called = withFunctions(
        sketch({ nodes: [call(node('F', ['x'], ['y']))], inputs: { x: [4] }, outputs: ['y'] }),
        [{ name: 'F', inputs: ['x'], outputs: ['y'], nodes }],
      );
      for (const each of [choice, called]) {
        await writeFile(path(), writeModel(each));
        await expect(loadModelFile(path())).rejects.toMatchObject({
          code: 'TESSERA_MODEL_UNSUPPORTED',
          hint: expect.stringContaining('onnx.save'),
        });
      }
    });
  });

  it('follows no link out of the folder, or else a model file reads files that are not part of it', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'tessera-outside-'));
    await writeFile(join(outside, 'w.bin'), new Uint8Array(10_000));
    await symlink(join(outside, 'w.bin'), join(folder, 'w.bin'));
    await expect(loadModelFile(await written('w.bin'))).rejects.toMatchObject({ code: 'TESSERA_MODEL_INVALID' });
    await rm(outside, { recursive: true });
  });

  it('says which file is missing or too short', async () => {
    const path = await written('w.bin');
    await expect(loadModelFile(path)).rejects.toThrow(/w1.*w\.bin/);
    await writeFile(join(folder, 'w.bin'), new Uint8Array(100));
    await expect(loadModelFile(path)).rejects.toThrow(/w1.*end after 92/);
    await expect(loadModelFile(join(folder, 'none.onnx'))).rejects.toMatchObject({ code: 'TESSERA_MODEL_INVALID' });
  });

  it('allocates no memory for weights that are larger than their file', async () => {
    const dims = [2 ** 20, 2 ** 20];
    const model = tinyNetwork();
    const w1 = model.graph.initializers.get('w1')!;
    const huge = { ...w1, dims, data: { kind: 'external', location: 'w.bin', offset: 0, length: 2 ** 42 } } as const;
    const initializers = new Map(model.graph.initializers).set('w1', huge);
    const path = join(folder, 'model.onnx');
    await writeFile(path, writeModel({ ...model, graph: { ...model.graph, initializers } }));
    await writeFile(join(folder, 'w.bin'), new Uint8Array(100));
    await expect(loadModelFile(path)).rejects.toThrow(/w1.*end after 100 of 4398046511104 bytes/);
  });

  it('uses no more memory than the data files have bytes, however often a file is named', async () => {
    const bytes = new Uint8Array(4000).fill(1);
    await writeFile(join(folder, 'w.bin'), bytes);
    const model = tinyNetwork();
    const w1 = model.graph.initializers.get('w1')!;
    const read = async (offsets: number[]) => {
      const weights = offsets.map((offset, k) => ({
        ...w1,
        name: `w${k}`,
        dims: [250],
        data: { kind: 'external', location: 'w.bin', offset, length: 1000 } as const,
      }));
      const initializers = new Map([...model.graph.initializers, ...weights.map((one) => [one.name, one] as const)]);
      const path = join(folder, 'model.onnx');
      await writeFile(path, writeModel({ ...model, graph: { ...model.graph, initializers } }));
      return loadModelFile(path);
    };
    const shared = await read(Array(50).fill(1000));
    expect(inline(shared, 'w0').buffer).toBe(inline(shared, 'w9').buffer);
    await expect(read([0, 500, 1000, 1500, 2000])).rejects.toThrow(/overlap others in w\.bin/);
  });

  it('reads weights and models from regular files only: reading a pipe might never end', async () => {
    await mkdir(join(folder, 'w.bin'));
    await expect(loadModelFile(await written('w.bin'))).rejects.toThrow(/not a file/);
    await expect(loadModelFile(folder)).rejects.toMatchObject({ code: 'TESSERA_MODEL_INVALID' });
    await expect(loadModelFile('/dev/zero')).rejects.toThrow(/not a file/);
  });

  it('reads a file without external data as it is', async () => {
    const path = join(folder, 'whole.onnx');
    await writeFile(path, writeModel(tinyNetwork()));
    expect(writeModel(await loadModelFile(path))).toEqual(new Uint8Array(await readFile(path)));
  });
});
