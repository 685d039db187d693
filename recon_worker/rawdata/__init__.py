"""Raw k-space as scanners and simulators write it; one module a format, `open` tells them apart."""
