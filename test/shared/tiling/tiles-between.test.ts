import { expect, test } from 'vitest';
import { cutPoints } from '../../../shared/onnx/cuts.ts';
import { haloOutlines } from '../../../shared/tiling/halo-form.ts';
import { tileSegment } from '../../../shared/tiling/segment.ts';
import { findTileable } from '../../../shared/tiling/tileable.ts';
import { type Place, TilesBetween } from '../../../shared/tiling/tiles-between.ts';
import { Network } from './network.ts';

/** If these fail, the planner searches with other tiles than those that nodes run. */

const pads = [1, 1, 1, 1];

/** Windows of several sizes, strides and dilations, a skip, and two tensors of different sizes at some cuts. */
function network() {
  const net = new Network();
  const image = net.input([1, 3, 49, 41]);
  const first = net.op('Relu', [net.conv(image, 3, 6, [7, 7], { pads: [3, 3, 3, 3], strides: [2, 2] })]);
  const pooled = net.op('MaxPool', [first], { kernel_shape: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1] });
  const wide = net.conv(pooled, 6, 6, [3, 3], { pads: [2, 2, 2, 2], dilations: [2, 2] });
  const sum = net.op('Add', [net.conv(wide, 6, 6, [3, 3], { pads }), pooled]);
  const half = net.op('AveragePool', [sum], { kernel_shape: [2, 2], strides: [2, 2] });
  const other = net.conv(sum, 6, 4, [1, 1], { strides: [2, 2] });
  const end = net.op('Concat', [half, other], { axis: 1 });
  const out = net.op('GlobalAveragePool', [net.conv(end, 10, 4, [3, 3], { pads })]);
  return { resolved: net.resolve(out), image };
}

const { resolved, image } = network();
const frame: Place = { after: -1, tensors: [image], outputs: [] };
const places = [frame, ...cutPoints(resolved)];
const tiles = new TilesBetween(resolved, places, findTileable(resolved, [image]));

test('tiles between any two places need and compute what a stage of tiles does', () => {
  let checked = 0;
  for (let to = 1; to < places.length; to++) {
    const cells = tiles.cells(to);
    if (cells === undefined || cells.rows < 4 || cells.cols < 3) continue;
    const [rows, cols] = [
      [cells.rows - 3, 1, 2],
      [1, cells.cols - 1],
    ];
    for (let from = 0; from < to; from++) {
      const [begin, end] = [places[from]!, places[to]!];
      if (end.tensors.some((tensor) => begin.tensors.includes(tensor))) continue;
      const outlines = haloOutlines(tileSegment(resolved, begin.tensors, end.tensors), rows, cols);
      const macs = tiles.tileMacs(to, rows, cols)[from]!;
      expect([...macs].map(Math.round)).toEqual(outlines.map((outline) => outline.macs));
      begin.tensors.forEach((tensor, index) => {
        const { shape } = resolved.specs.get(tensor)!;
        const needs = tiles.needs(from, to, rows, cols)[index]!;
        const boxes = outlines.map((outline) => outline.in.find((region) => region.tensor === tensor)!.box);
        expect(boxesOf(needs, shape)).toEqual(boxes.map((box) => box.slice(2)));
      });
      end.tensors.forEach((tensor, index) => {
        const made = tiles.made(to, rows, cols)[index]!;
        const boxes = outlines.map((outline) => outline.out.find((region) => region.tensor === tensor)!.box);
        expect(boxesOf(made, resolved.specs.get(tensor)!.shape)).toEqual(boxes.map((box) => box.slice(2)));
      });
      checked++;
    }
  }
  expect(checked).toBeGreaterThan(10);
});

/** The rows and columns of parts, in cells. */
function boxesOf(shares: Float64Array, shape: readonly number[]): number[][][] {
  const [height, width] = [shape[2]!, shape[3]!];
  return Array.from({ length: shares.length / 6 }, (_, part) => {
    const [top, bottom, left, right] = shares.subarray(6 * part) as unknown as [number, number, number, number];
    return [
      [Math.round(top * height), Math.round(bottom * height)],
      [Math.round(left * width), Math.round(right * width)],
    ];
  });
}

test('tiles end only where every tensor is a map', () => {
  expect(tiles.cells(0)).toBeUndefined();
  expect(tiles.cells(places.length - 1)).toMatchObject({ rows: expect.any(Number) });
  const end: Place = { after: resolved.model.graph.nodes.length - 1, tensors: [], outputs: [] };
  expect(new TilesBetween(resolved, [frame, end], findTileable(resolved, [image])).cells(1)).toBeUndefined();
});
