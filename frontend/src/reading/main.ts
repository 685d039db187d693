import { init } from '@cornerstonejs/core';

await init();
