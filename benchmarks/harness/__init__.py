"""How contenders are run: own processes, interleaved rounds."""
