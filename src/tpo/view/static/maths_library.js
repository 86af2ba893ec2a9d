// The library for formulas, given at once: a file that stands alone cannot load it when it is needed.

import { useMaths } from "./maths.js";
import * as temmlModule from "./vendor/temml.js";

useMaths(temmlModule.default);
