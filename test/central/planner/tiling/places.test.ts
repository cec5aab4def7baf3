import { expect, test } from 'vitest';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { placesOf } from '../../../../central/planner/tiling/places.ts';
import { Network } from '../../../shared/tiling/network.ts';
import { clusterOf, smallNetwork } from './clusters.ts';

function placesFor(...given: Parameters<typeof placesOf>) {
  const found = placesOf(...given);
  if (isNoPlan(found)) throw new Error(found.reason);
  return found;
}

test('stages can end before each layer with products, where tiles end, and at the end', () => {
  const network = smallNetwork(2, 8);
  const { image, skip, sum, hidden, out } = network;
  const { places, geometry } = placesFor(clusterOf(network, [1, 1]));
  expect(places.map(({ tensors }) => tensors)).toEqual([
    [image],
    [expect.stringMatching(/Relu/)],
    [skip],
    [sum],
    [expect.stringMatching(/Flatten/)],
    [hidden],
    [out],
  ]);
  expect(places.map((_, place) => geometry.cells(place)?.rows)).toEqual([
    undefined,
    8,
    4,
    4,
    undefined,
    undefined,
    undefined,
  ]);
});

test('the ends that the user set come first, and no other tile stage lies before them', () => {
  const network = smallNetwork(3, 8);
  const problem = clusterOf(network, [1, 1]);
  const end = problem.tiler.upTo(undefined, [network.skip]);
  if (isNoPlan(end)) throw new Error(end.reason);
  const { places, asked } = placesFor(problem, [end]);
  expect(asked).toBe(1);
  expect(places[1]!.tensors).toEqual([network.skip]);
});

test('of many places those with the fewest bytes are kept, spread over the work', () => {
  const net = new Network();
  let x = net.input([1, 4, 32, 32]);
  for (let layer = 0; layer < 60; layer++) {
    x = net.conv(x, 4, 4, [3, 3], { pads: [1, 1, 1, 1] });
    if (layer === 30) x = net.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  }
  const problem = clusterOf({ resolved: net.resolve(x) }, [1, 1]);
  const { places } = placesFor(problem);
  expect(places.length).toBeLessThanOrEqual(1 + 14 + 1);
  expect(places.some(({ tensors }) => tensors[0]!.includes('MaxPool'))).toBe(true);
});
