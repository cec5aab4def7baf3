import { describe, expect, it } from 'vitest';
import { labelOf, labelsByClass, parseLabels } from '../../../shared/model/labels.ts';
import { listOfClasses } from '../../../shared/model/named-labels.ts';

describe('parseLabels', () => {
  it('reads one label a line and drops empty lines at the end only, so that indices stay right', () => {
    expect(parseLabels('\uFEFFcat\r\n\r\n dog \n\n\n')).toEqual(['cat', '', 'dog']);
    expect(parseLabels('')).toEqual([]);
  });

  it('takes WordNet ids off, as in the lists of ImageNet', () => {
    expect(parseLabels('n01440764 tench, Tinca tinca\nn1 not an id')).toEqual(['tench, Tinca tinca', 'n1 not an id']);
  });

  it('cuts labels that are too long for MQTT apps', () => {
    expect(parseLabels('x'.repeat(300))[0]).toHaveLength(255);
  });
});

describe('labelOf', () => {
  it('names a class without a label by its number', () => {
    expect(labelOf(['cat', ''], 0)).toBe('cat');
    expect(labelOf(['cat', ''], 1)).toBe('class 1');
    expect(labelOf([], 17)).toBe('class 17');
  });
});

describe('labelsByClass', () => {
  it('shifts labels by one only where they leave out the background class in front', () => {
    expect(labelsByClass(['a', 'b'], 3, 0)).toEqual(['nothing', 'a', 'b']);
    expect(labelsByClass(['a', 'b', 'c'], 3, 0)).toEqual(['a', 'b', 'c']);
    expect(labelsByClass(['a', 'b'], 3, null)).toEqual(['a', 'b']);
    expect(labelsByClass(['__background__', 'b'], 3, 0)).toEqual(['__background__', 'b']);
  });
});

describe('listOfClasses', () => {
  it('names the list of so many classes, with the background where there is one', () => {
    expect([1000, 80].map((count) => listOfClasses(count, null))).toEqual(['imagenet-1k', 'coco']);
    expect([1001, 81].map((count) => listOfClasses(count, 0))).toEqual(['imagenet-1001', 'coco-81']);
    expect([1001, 81, 90, undefined].map((count) => listOfClasses(count, null))).toEqual(Array(4).fill(undefined));
    expect([1000, 80].map((count) => listOfClasses(count, 0))).toEqual([undefined, undefined]);
    expect(listOfClasses(81, 80)).toBe('coco');
  });
});
