"""Results that lie on the ground: COG, GeoJSON, GeoPackage, and areas in m²."""
