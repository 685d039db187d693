/** Gives cornerstone our raw frames as images, and the few facts it asks about them. */
import { Enums, imageLoader, metaData, type Types } from '@cornerstonejs/core';
import type { SeriesDescription } from '../types.ts';

const SCHEME = 'frame';
const LARGEST_VALUE = 65535;

export function imageIdsOf(series: SeriesDescription): string[] {
  return Array.from({ length: series.slices }, (_, slice) => `${SCHEME}:${series.token}/${slice}`);
}

function parse(imageId: string): { token: string; slice: number } | null {
  const match = /^frame:([^/]+)\/(\d+)$/.exec(imageId);
  return match?.[1] && match[2] ? { token: match[1], slice: Number(match[2]) } : null;
}

export function registerLoader(
  seriesOf: (token: string) => SeriesDescription | undefined,
  pixels: (token: string, slice: number) => Promise<Uint16Array>,
): void {
  const known = (imageId: string) => {
    const place = parse(imageId);
    const series = place && seriesOf(place.token);
    return place && series ? { ...place, series } : null;
  };

  metaData.addProvider((type: string, imageId: string) => {
    const found = typeof imageId === 'string' ? known(imageId) : null;
    return found ? facts(type, found.series, found.slice) : undefined;
  }, 1000);

  imageLoader.registerImageLoader(SCHEME, (imageId: string) => {
    const found = known(imageId);
    if (!found) return { promise: Promise.reject(new Error('Not a frame of a known series.')) };
    const promise = pixels(found.token, found.slice).then((frame) => image(imageId, found.series, frame));
    return { promise };
  });
}

function facts(type: string, series: SeriesDescription, slice: number): unknown {
  const [rowSpacing, columnSpacing] = series.spacing_mm;
  switch (type) {
    case 'imagePixelModule':
      return {
        rows: series.rows,
        columns: series.columns,
        samplesPerPixel: 1,
        photometricInterpretation: 'MONOCHROME2',
        bitsAllocated: 16,
        bitsStored: 16,
        highBit: 15,
        pixelRepresentation: 0,
      };
    case 'imagePlaneModule':
      // The series comes in reading orientation: rows to the right, columns down.
      return {
        frameOfReferenceUID: series.token,
        rows: series.rows,
        columns: series.columns,
        imageOrientationPatient: [1, 0, 0, 0, 1, 0],
        rowCosines: [1, 0, 0],
        columnCosines: [0, 1, 0],
        imagePositionPatient: [0, 0, slice],
        sliceThickness: 1,
        rowPixelSpacing: rowSpacing,
        columnPixelSpacing: columnSpacing,
        pixelSpacing: [rowSpacing, columnSpacing],
        usingDefaultValues: false,
      };
    case 'generalSeriesModule':
      return { modality: 'MR' };
    case 'voiLutModule':
      return { windowCenter: [series.window[0]], windowWidth: [series.window[1]] };
    default:
      return undefined;
  }
}

function image(imageId: string, series: SeriesDescription, frame: Uint16Array): Types.IImage {
  // One range for every image: the smallest and largest value of this one would show how noisy it is.
  const made = {
    imageId,
    minPixelValue: 0,
    maxPixelValue: LARGEST_VALUE,
    slope: 1,
    intercept: 0,
    windowCenter: series.window[0],
    windowWidth: series.window[1],
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => frame,
    rows: series.rows,
    columns: series.columns,
    height: series.rows,
    width: series.columns,
    color: false,
    rgba: false,
    numberOfComponents: 1,
    columnPixelSpacing: series.spacing_mm[1],
    rowPixelSpacing: series.spacing_mm[0],
    invert: false,
    photometricInterpretation: 'MONOCHROME2',
    sizeInBytes: frame.byteLength,
    dataType: 'Uint16Array',
    imageFrame: {},
  };
  return made as unknown as Types.IImage;
}
