//! WHAT BYTES does the kernel say? One kernel file's bytes → one struct in the kernel's own names and units.
