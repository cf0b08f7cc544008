"""Rasters of any size: read, run and written piece by piece. `job.predict_raster` is the way in."""
