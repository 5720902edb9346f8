"""What runs in AWS Lambda; :mod:`fleet_cloud.hooks` packs and uploads it."""
