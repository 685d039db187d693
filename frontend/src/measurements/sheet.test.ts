import { describe, expect, it } from 'vitest';
import { placeOf, readSheet } from './sheet.ts';

describe('a contact sheet', () => {
  const sheet = readSheet('4 5 3 10 44 233 530'); // slices 4 to 8, three in a line

  it('has its slices line by line', () => {
    const places = [4, 5, 6, 7, 8].map((number) => placeOf(sheet, number));
    expect(places).toEqual([
      { x: 10, y: 44 }, { x: 243, y: 44 }, { x: 476, y: 44 },
      { x: 10, y: 574 }, { x: 243, y: 574 },
    ]);
  });

  it('does not hold what lies before, behind, or in its empty places', () => {
    for (const number of [0, 3, 9, 10, Number.NaN]) expect(placeOf(sheet, number)).toBeNull();
  });

  it('without numbers holds nothing', () => expect(placeOf(readSheet(''), 1)).toBeNull());
});
