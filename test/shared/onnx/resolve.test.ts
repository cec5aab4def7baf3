import { describe, expect, test } from 'vitest';
import { missing, NETWORKS, network, TOPOLOGIES, typesByRunning } from './networks.ts';

describe('types of every tensor of real networks equal what the runtime makes', () => {
  for (const name of [...Object.keys(NETWORKS), ...TOPOLOGIES]) {
    test.skipIf(missing(name))(`${name} ${missing(name) || ''}`, async () => {
      const resolved = network(name);
      const names = resolved.model.graph.nodes.flatMap((node) => node.outputs).filter((output) => output !== '');
      expect(names.filter((output) => !resolved.specs.has(output))).toEqual([]);
      const real = await typesByRunning(resolved);
      expect(real.size).toBe(new Set(names).size);
      for (const [tensor, spec] of real) expect([tensor, resolved.specs.get(tensor)]).toEqual([tensor, spec]);
    });
  }
});
