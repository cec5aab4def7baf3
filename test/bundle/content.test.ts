import { describe, expect, it } from 'vitest';
import { billOfMaterials, isNeeded } from '../../bundle/content.ts';

describe('the files of a bundle', () => {
  it.each([
    ['onnxruntime-node/bin/napi-v6/linux/arm64/libonnxruntime.so.1', true],
    ['onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1', false],
    ['onnxruntime-node/bin/napi-v6/win32/arm64/DirectML.dll', false],
    ['pino/pino.js', true],
    // Code may lie in a folder of such a name.
    ['yaml/dist/doc/directives.js', true],
    ['pino/pino.d.ts', false],
    ['zod/src/index.ts', false],
    ['@img/sharp-libvips-linux-arm64/THIRD-PARTY-NOTICES.md', true],
    ['ws/README.md', false],
    ['ws/LICENSE', true],
    ['.package-lock.json', false],
    ['.bin/pino', false],
  ])('%s: %s', (path, needed) => {
    expect(isNeeded(path, 'arm64')).toBe(needed);
  });
});

describe('the bill of materials', () => {
  it('names every package with version, licence and package URL, in one order', () => {
    const product = { name: '@tessera-edge/tessera', version: '1.0.0', license: 'Apache-2.0', arch: 'arm64' } as const;
    const ws = { name: 'ws', version: '8.0.0', license: 'MIT' };
    const scoped = { name: '@img/colour', version: '1.0.0', license: '(MIT OR CC0-1.0)' };
    const made = billOfMaterials(product, [ws, scoped], 0);
    expect(made).toBe(billOfMaterials(product, [scoped, ws], 0));
    const { specVersion, components } = JSON.parse(made);
    expect(specVersion).toBe('1.6');
    expect(components.map(({ purl }: { purl: string }) => purl)).toEqual([
      'pkg:npm/%40img/colour@1.0.0',
      'pkg:npm/ws@8.0.0',
    ]);
    expect(components[0].licenses).toEqual([{ expression: '(MIT OR CC0-1.0)' }]);
    expect(components[1].licenses).toEqual([{ license: { id: 'MIT' } }]);
  });
});
